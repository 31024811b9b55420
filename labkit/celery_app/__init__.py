"""What runs inside Celery, and Celery itself: its application, its workers, its Beat, and what they do with a task."""
