"""One page that says what a model loses and costs."""
