"""Reference data of ``contracts``: divisions of Shandong and national code sets. CSV, UTF-8, codes as text.

``divisions.csv.gz`` and ``divisions_old.csv`` belong to ``contracts.divisions``, ``codesets/`` to ``contracts.codesets``;
``codesets/index.json`` names the standard, the sources and the confidence of each. A package, so that
``importlib.resources`` finds it wherever it is installed.
"""
