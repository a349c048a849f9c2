"""The exam of analysts, and recorded answers under other rules: what is asked, what followed, and the report."""
