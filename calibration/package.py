"""What a workstation needs where the device is not enough: labelled pictures, what was tried, the command."""

import csv
import io
import json
import zipfile
from pathlib import Path

from calibration.errors import CalibrationError

_README = """# Fine-tuning on a workstation

`manifest.csv` lists all pictures with class, split and group; `proof.md` says what the device reached and why that was
refused. Train on it, with the network that the engine has:

    python -m tools.train --model plain --data manifest.csv --work runs/{name}

The exported engine comes back through the same gate: copy it to the device and prove it with its own golden set,

    edge engines store add ENGINE.yaml --golden SET.npz --activate
"""


def package(work: Path, out: Path) -> int:
    """Writes ``out`` (zip); returns the number of pictures. Raises CalibrationError: no lesson there."""
    source = next(
        (work / n for n in ("split.json", "checked.json", "collect.json") if (work / n).is_file()), None
    )
    if source is None:
        raise CalibrationError(
            f"{work}: no lesson in it; expected the work folder of 'edge calibrate new-defect'"
        )
    rows = json.loads(source.read_text(encoding="utf-8"))
    pictures = [*rows["new"], *rows["old"]]
    part = out.with_name(f".{out.name}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as file:
            table = io.StringIO()
            writer = csv.writer(table)
            writer.writerow(("path", "class", "split", "group", "format"))
            for number, row in enumerate(pictures):
                inside = f"pictures/{number:06d}{Path(row['path']).suffix}"
                file.write(row["path"], inside)
                split = "val" if row["split"] == "exam" else "train"
                writer.writerow((inside, row["label"], split, row["group"], row["pixel_format"]))
            file.writestr("manifest.csv", table.getvalue())
            file.writestr("README.md", _README.format(name=rows["new"][0]["label"]))
            for name in ("proof.md", "proof.png", "check.json"):
                if (work / name).is_file():
                    file.write(work / name, name)
        part.replace(out)
    except OSError as error:
        raise CalibrationError(f"{out}: cannot be written ({error}); nothing is left there") from error
    finally:
        part.unlink(missing_ok=True)
    return len(pictures)
