"""What answered one question once, with the page that it wrote; run as modules, not installed."""
