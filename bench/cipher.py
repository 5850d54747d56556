# SPDX-License-Identifier: BSD-2-Clause
"""What encryption costs by itself."""

import re
import shutil
import statistics
import subprocess

import servers

RECORD = 16384  # bytes: what TLS encrypts at a time
LIMIT = 30  # seconds


def speed(cpus, rounds):
    """Bytes that OpenSSL encrypts with AES-128-GCM in a second of CPU time, the median; None when it isn't installed."""
    if not shutil.which("openssl"):
        return None
    command = ["openssl", "speed", "-mr", "-seconds", "1", "-bytes", str(RECORD), "-evp", "aes-128-gcm"]
    told = [subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True, stdin=subprocess.DEVNULL,
                           preexec_fn=servers.child_setup(cpus)).stdout for _ in range(rounds)]
    return statistics.median(float(re.search(r"^\+F:\d+:[^:]+:([\d.]+)$", one, re.M | re.I)[1]) for one in told)
