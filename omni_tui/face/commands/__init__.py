"""What actions do: functions of (shell, argument), one file a subject. `face.actions` lists them."""
