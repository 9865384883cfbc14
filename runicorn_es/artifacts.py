"""What users hold, under the name that the user's guide imports: ``import runicorn_es.artifacts``."""

from runicorn_es.artifact import Artifact, ArtifactVersion, File, Manifest, Metadata, VersionNumber

__all__ = ["Artifact", "ArtifactVersion", "File", "Manifest", "Metadata", "VersionNumber"]
