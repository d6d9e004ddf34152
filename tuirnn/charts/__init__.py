"""Line charts in a terminal: series to columns of braille dots, axes and legends. numpy only; no torch, no Textual."""
