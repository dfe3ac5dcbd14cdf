from hedgespec.cli import main

raise SystemExit(main())
