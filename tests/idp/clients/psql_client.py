"""psql: psql_client.py READ REFUSED runs two statements and prints a JSON line."""

import json
import re
import subprocess
import sys

done = subprocess.run(["psql", "-X", "-At", "-v", "VERBOSITY=verbose", "-c", sys.argv[1], "-c", sys.argv[2], "-c", "select 'usable'"],
                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
lines, problems = done.stdout.splitlines(), " ".join(done.stderr.split())
found = re.search(r"ERROR:\s+([0-9A-Z]{5}): (.*)", problems)
out = {"rows": [line.split("|") for line in lines[:-1]], "usable": lines[-1:] == ["usable"], "state": None, "message": problems}
if found:
    out |= {"state": found[1], "message": found[2]}
print(json.dumps(out))
