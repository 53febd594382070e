"""Running comparisons: suites, plans, studies in lock step."""
