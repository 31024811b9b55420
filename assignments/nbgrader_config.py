"""How nbgrader treats this folder: how a question is graded, and the secret of a course, are released to nobody. What
the visible checks need goes beside the released notebook.
"""

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - nbgrader puts it there
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "questions", "course_secret"]
c.GenerateAssignment.post_convert_hook = "labkit.grading.visible_checks.add_to_release"
