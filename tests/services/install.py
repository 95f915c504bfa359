"""Installs what ``make test-services`` needs and is not there: Debian packages, and the jars of Apache Kafka."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from services import apache_kafka, containers, databases  # noqa: E402 - run as a script, which knows no packages


def missing_packages() -> list[str]:
    """The Debian packages to install."""
    needed = {
        "openjdk-17-jre-headless": shutil.which("java") is not None,
        "maven": shutil.which("mvn") is not None or apache_kafka.installed(),
        "postgresql": databases.postgres_programs() is not None,
        "mariadb-server": databases.mariadb_installed(),
        "libreoffice-calc-nogui": shutil.which("soffice") is not None,
    }
    return [package for package, there in needed.items() if not there]


def install(packages: list[str]) -> None:
    """Install with apt-get. Ends the program with the command to run where that can't be done here."""
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get") is None or (as_root and subprocess.run([*as_root, "true"], check=False).returncode):
        sys.exit(f"Needed and not installed: {', '.join(packages)}. On Debian: sudo {' '.join(command)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*as_root, "apt-get", "update", "-qq"], check=True, env=environment)
    subprocess.run([*as_root, *command], check=True, env=environment)


def gather_jars() -> None:
    """Have Maven copy the jars that the pom names."""
    shutil.rmtree(apache_kafka.JARS, ignore_errors=True)
    pom, part = apache_kafka.HERE / "pom.xml", apache_kafka.JARS.with_name("kafka.part")
    shutil.rmtree(part, ignore_errors=True)
    subprocess.run(
        ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={part}"], check=True
    )
    part.rename(apache_kafka.JARS)


if __name__ == "__main__":
    if not containers.engine_answers() and (packages := missing_packages()):
        install(packages)
    if not apache_kafka.installed():
        gather_jars()  # in any case: the command line tools come from them
