"""Rules on sending and on trying again; pure."""
