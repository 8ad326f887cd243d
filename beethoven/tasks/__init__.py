"""Tasks: functions run in processes of their own, alone, under a supervisor, or in streams."""
