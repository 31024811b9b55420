"""How nbgrader treats this folder: how a question is graded, with its model answer, is released to nobody."""

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - nbgrader puts it there
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "questions"]
