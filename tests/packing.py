"""Files packed for tests: archives and tables, each written by another's library."""

import io
import json
import tarfile
import zipfile

import pytest


def tar(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def zipped(path, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def zstandard(path, files):
    package = pytest.importorskip("zstandard")
    plain = tar(path.with_suffix(""), files).read_bytes()
    path.write_bytes(package.ZstdCompressor().compress(plain[:1000]) + package.ZstdCompressor().compress(plain[1000:]))
    return path


def parquet(path, files, labels=None, names=None):
    """As Hugging Face's datasets writes it."""
    pytest.importorskip("pyarrow")
    import pyarrow
    import pyarrow.parquet

    images = [{"bytes": data, "path": name} for name, data in files.items()]
    columns = {
        "image": pyarrow.array(images, pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]))
    }
    features = {"image": {"_type": "Image"}}
    if labels is not None:
        columns["label"] = pyarrow.array(labels)
        features["label"] = {"_type": "ClassLabel", "names": names} if names else {"dtype": "int64", "_type": "Value"}
    table = pyarrow.table(columns)
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path, row_group_size=3)
    return path
