"""Names of the data sets that need no file: what is learned from where no source is named."""

DEFAULT, SINCOS = "default", "sincos"
