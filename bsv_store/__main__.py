"""``python -m bsv_store`` is ``bsv-store``."""

from __future__ import annotations

if __name__ == "__main__":
    from bsv_store_cli.main import main

    main()
