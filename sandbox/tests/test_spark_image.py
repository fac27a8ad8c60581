"""What a container of EMR's Spark image does: the causes that it tells, and where logs go."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from sandbox.machine.program import ROOT

FILE = ROOT / "sandbox" / "images" / "spark" / "entrypoint.py"


@pytest.fixture(scope="module")
def entrypoint() -> Any:  # noqa: ANN401  (a module)
    specification = importlib.util.spec_from_file_location("entrypoint", FILE)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


SHUTDOWN = """\
26/11/26 02:45:53 INFO SparkContext: Successfully stopped SparkContext
26/11/26 02:45:54 ERROR Utils: Uncaught exception in thread shutdown-hook-0
java.lang.InterruptedException: this is of the shutdown
Exception in thread "main" org.apache.spark.SparkUserAppException: User application exited with 1
\tat org.apache.spark.deploy.PythonRunner$.main(PythonRunner.scala:103)
"""
OF_PYTHON = f"""\
26/11/26 02:45:50 INFO SparkContext: Running Spark version 3.5.9
Traceback (most recent call last):
  File "/work/job.py", line 3, in <module>
    import nothing
ModuleNotFoundError: No module named 'nothing'
{SHUTDOWN}"""
OF_JAVA_IN_PYTHON = f"""\
Traceback (most recent call last):
  File "/work/job.py", line 3, in <module>
    spark.read.csv("s3://b/k")
py4j.protocol.Py4JJavaError: An error occurred while calling o35.csv.
: java.nio.file.AccessDeniedException: s3://b/k: getFileStatus: 403
\tat org.apache.hadoop.fs.s3a.S3AUtils.translateException(S3AUtils.java:255)
\t... 12 more
Caused by: com.amazonaws.AmazonS3Exception: Forbidden
\tat com.amazonaws.http.AmazonHttpClient.execute(AmazonHttpClient.java:1)

{SHUTDOWN}"""
OF_JAVA = """\
26/11/26 02:45:50 WARN NativeCodeLoader: Unable to load native-hadoop library
Exception in thread "main" org.apache.spark.SparkException: Could not load pod from template file.
\tat org.apache.spark.deploy.k8s.KubernetesUtils$.loadPodFromTemplate(KubernetesUtils.scala:108)
Caused by: java.io.FileNotFoundException: No such file or directory: s3://b/none.yaml
\tat org.apache.hadoop.fs.s3a.S3AFileSystem.s3GetFileStatus(S3AFileSystem.java:3866)
26/11/26 02:45:54 INFO ShutdownHookManager: Shutdown hook called
"""


@pytest.mark.parametrize(
    ("printed", "cause"),
    [
        (OF_PYTHON, "ModuleNotFoundError: No module named 'nothing'"),
        (
            OF_JAVA_IN_PYTHON,
            "java.nio.file.AccessDeniedException: s3://b/k: getFileStatus: 403; caused by "
            "com.amazonaws.AmazonS3Exception: Forbidden",
        ),
        (
            OF_JAVA,
            "org.apache.spark.SparkException: Could not load pod from template file.; caused by "
            "java.io.FileNotFoundException: No such file or directory: s3://b/none.yaml",
        ),
        ("python: can't open file 'x.py': [Errno 2] No such file\n", None),
        ("", "it printed nothing"),
    ],
)
def test_the_cause_is_what_came_first_and_not_the_shutdown(
    entrypoint: Any,  # noqa: ANN401
    printed: str,
    cause: str | None,
) -> None:
    assert entrypoint.cause(printed) == (printed.strip() if cause is None else cause)


def test_a_failed_container_leaves_word_why(
    entrypoint: Any,  # noqa: ANN401
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = tmp_path / "termination-log"
    log.touch()
    monkeypatch.setattr(entrypoint, "TERMINATION_LOG", log)
    for status, why, left in ((0, "", ""), (3, "x" * 5000, "x" * 4000), (3, "later", "x" * 4000)):
        with pytest.raises(SystemExit) as ended:
            entrypoint.end(status, why)
        assert ended.value.code == status
        assert log.read_text() == left
