"""The dashboard: watches run directories, controls trainings, generates with trained cells. Imports no torch.

`app` is the frame around the tabs in `screens`, which know it as a `context`; they read logs and files and pass the
results to `widgets`, which draw them. No training runs in this process, so closing or killing it ends none.
"""
