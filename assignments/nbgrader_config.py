"""How nbgrader treats this folder: how a question is graded, and the secret of a course, are released to nobody."""

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - nbgrader puts it there
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "questions", "course_secret"]
