"""Where events go: JSON lines, programs, MQTT, Wyoming, the live page, saved clips, systemd."""
