"""Reads event files with TensorBoard's own reader. Prints {run: {tag: [[step, value], ...]}} as JSON."""

import json
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import STORE_EVERYTHING_SIZE_GUIDANCE, EventAccumulator

runs = {}
for folder in sorted(Path(sys.argv[1]).iterdir()):
    reader = EventAccumulator(str(folder), size_guidance=STORE_EVERYTHING_SIZE_GUIDANCE)
    reader.Reload()
    tags = reader.Tags()["scalars"]
    runs[folder.name] = {tag: [[event.step, event.value] for event in reader.Scalars(tag)] for tag in tags}
print(json.dumps(runs))
