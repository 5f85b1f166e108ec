import sys
from pathlib import Path

# `import twins` in the tests of this folder.
sys.path.insert(0, str(Path(__file__).parent))
