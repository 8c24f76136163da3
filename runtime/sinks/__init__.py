"""Where events go: JSON lines, programs, MQTT, the live page, saved clips, systemd."""
