import sys

try:
    from hedgespec.cli import main
except KeyboardInterrupt:
    print("hedgespec: interrupted", file=sys.stderr)
    sys.exit(130)

raise SystemExit(main())
