"""The Python interface: what `import tuirnn` offers. It stands above the command line and says what that says."""
