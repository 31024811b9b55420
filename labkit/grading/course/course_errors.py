"""What is in the way of a course: in its folder, in its gradebook, or in what was handed in."""

from __future__ import annotations

from labkit.errors import LabkitError


class BadCourse(LabkitError):
    says = "The folder is no course, or its configuration cannot be used. `labkit grade init` makes one."


class UnknownAssignment(LabkitError):
    says = "The course has no such assignment."


class NoSubmissions(LabkitError):
    says = "Nobody has handed the assignment in."


class BadGradebook(LabkitError):
    says = "The gradebook of the course cannot be used."


class ConversionFailed(LabkitError):
    says = "nbgrader could not make the release or the feedback."


class BadArchive(LabkitError):
    says = "The archive cannot be used."
