"""The worker group: its settings, its members in threads and processes, what they do, and how they start and end."""
