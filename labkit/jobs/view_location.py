"""Where the view of a topic is: in the store that the settings name, or in a file beside the lab's data."""

from __future__ import annotations

from labkit.jobs.view import JobView
from labkit.lab import Lab
from labkit.parameters import checked
from labkit.settings import Settings, load_settings
from labkit.taskqueue.namespace import abandoned
from labkit.taskqueue.topics import Topic


@checked
def open_view(topic: Topic, lab: Lab, *, settings: Settings | None = None) -> JobView:
    """The view of the topic in the store of the settings, by default in SQLite beside the lab's data.

    Files there whose topics were of programs of this machine alone that have ended are deleted.
    """
    settings = settings or load_settings()
    if settings.jobs_url is not None:
        return JobView(topic, settings.jobs_url, settings=settings)
    folder = lab.data_folder / "jobs"
    for name in abandoned((file.name for file in folder.glob("*")), is_local=lab.connection.is_local):
        (folder / name).unlink(missing_ok=True)
    return JobView(topic, f"sqlite:///{folder / topic.full_name}.sqlite", settings=settings)
