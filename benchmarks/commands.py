"""stub"""

import json
import subprocess
import sys
from pathlib import Path

BITEXT = (sys.executable, "-m", "pipeline")


def outputs_of(config, node):
    done = subprocess.run([*BITEXT, "status", config, "--json"], capture_output=True, text=True, check=True)
    return {k: Path(v) for k, v in json.loads(done.stdout)["runs"][0]["nodes"][node]["outputs"].items()}
