"""What a board needs besides listening: doctor, selftest, the systemd service, lists."""
