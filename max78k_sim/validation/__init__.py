"""A run compared with what others computed: golden folders, arrays, logs, boards; and why."""
