"""What answered one question once; run as modules, not installed."""
