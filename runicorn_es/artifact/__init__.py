"""What users hold: a draft, which can be changed, and a stored version, which cannot."""

from runicorn_es.artifact.draft import Artifact
from runicorn_es.artifact.stored import ArtifactVersion, Manifest, Metadata, VersionNumber
from runicorn_es.queries import File

__all__ = ["Artifact", "ArtifactVersion", "File", "Manifest", "Metadata", "VersionNumber"]
