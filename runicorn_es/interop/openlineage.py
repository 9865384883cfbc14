"""Events of OpenLineage 2-0-2 (https://openlineage.io/spec/2-0-2/OpenLineage.json) and the facets that we fill.

Of each facet it is the published release that is named; what is optional in one and unknown here is left out.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
import uuid

EventType = Literal["START", "COMPLETE", "FAIL"]

SCHEMA_URL = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS_URL = "https://openlineage.io/spec/facets"
_RELEASES = {
    "DatasetTypeDatasetFacet": "1-0-0",
    "DatasetVersionDatasetFacet": "1-0-1",
    "DatasourceDatasetFacet": "1-0-1",
    "JobTypeJobFacet": "2-0-3",
    "OutputStatisticsOutputDatasetFacet": "1-0-2",
    "ProcessingEngineRunFacet": "1-1-0",
    "TagsDatasetFacet": "1-0-0",
    "TagsRunFacet": "1-0-0",
}


class Writer:
    """What all events of one store have in common: who produced them, and in which namespace its names are."""

    def __init__(self, producer: str, namespace: str, tool: str) -> None:
        self._producer = producer
        self._namespace = namespace
        self._tool = tool

    def event(
        self,
        kind: EventType,
        time: datetime,
        *,
        run: dict[str, Any],
        job: dict[str, Any],
        inputs: Sequence[dict[str, Any]],
        outputs: Sequence[dict[str, Any]],
    ) -> dict[str, Any]:
        """Return a RunEvent. A run has one START, and one COMPLETE or FAIL when it has ended."""
        return {
            "eventType": kind,
            "eventTime": time.isoformat().replace("+00:00", "Z"),
            "run": run,
            "job": job,
            "inputs": list(inputs),
            "outputs": list(outputs),
            "producer": self._producer,
            "schemaURL": SCHEMA_URL,
        }

    def run(self, name: str, tags: dict[str, str], python: str | None) -> dict[str, Any]:
        """Return a run. Its id has to be a UUID, and is always the same one for the same name in this namespace."""
        facets = {"tags": self._tags("TagsRunFacet", tags)}
        if python is not None:
            facets["processing_engine"] = self._facet("ProcessingEngineRunFacet", name="Python", version=python)
        return {"runId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._namespace}/{name}")), "facets": facets}

    def job(self, name: str) -> dict[str, Any]:
        """Return a job: what a run is one execution of."""
        facet = self._facet("JobTypeJobFacet", processingType="BATCH", integration=self._tool, jobType="RUN")
        return {"namespace": self._namespace, "name": name, "facets": {"jobType": facet}}

    def dataset(self, name: str, version: str, kind: str, tags: dict[str, str]) -> dict[str, Any]:
        """Return a dataset at one of its versions."""
        facets = {
            "version": self._facet("DatasetVersionDatasetFacet", datasetVersion=version),
            "dataSource": self._facet("DatasourceDatasetFacet", name=self._namespace, uri=self._namespace),
            "datasetType": self._facet("DatasetTypeDatasetFacet", datasetType=kind),
            "tags": self._tags("TagsDatasetFacet", tags),
        }
        return {"namespace": self._namespace, "name": name, "facets": facets}

    def statistics(self, size_bytes: int, file_count: int) -> dict[str, Any]:
        """Return what is said of a dataset as an output."""
        facet = self._facet("OutputStatisticsOutputDatasetFacet", size=size_bytes, fileCount=file_count)
        return {"outputFacets": {"outputStatistics": facet}}

    def _tags(self, facet: str, tags: dict[str, str]) -> dict[str, Any]:
        written = [{"key": key, "value": value, "source": self._tool} for key, value in tags.items()]
        return self._facet(facet, tags=written)

    def _facet(self, facet: str, /, **members: Any) -> dict[str, Any]:
        url = f"{_FACETS_URL}/{_RELEASES[facet]}/{facet}.json#/$defs/{facet}"
        return {"_producer": self._producer, "_schemaURL": url, **members}
