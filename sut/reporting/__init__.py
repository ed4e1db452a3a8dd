"""reporting: runs that were made, found again and put into lists, tables, charts and pages."""
