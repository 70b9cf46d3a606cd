"""The laws of the architecture, each as a property."""
