"""The settings of a run as arguments of `tuirnn.train`; written by `python docs/commands.py`."""

from typing import TypedDict


class Settings(TypedDict, total=False):
    """The settings of `tuirnn train` under the same names; those that are not given have their defaults."""

    cell: str
    """Recurrent cell."""
    hidden: int
    """Hidden units in each layer."""
    layers: int
    """Recurrent layers."""
    embed: int
    """Width of the learned embedding; 0 feeds one-hot vectors. A series has none."""
    residual: bool
    """Add each layer's input to its output, from the second layer on."""
    projection: int
    """Width of a linear layer between the stack and the head; 0: none."""
    tied: bool
    """The head shares the embedding's weights."""
    nonlinearity: str
    """Activation of the vanilla RNN, another way to name the cell: tanh is --cell rnn, relu is --cell rnn-relu."""
    reset: str
    """Where the GRU applies its reset gate, before the recurrent product (Cho 2014) or after it (cuDNN), another way to
    name the cell: after is --cell gru, before is --cell gru-before."""
    pooling: str
    """What the head reads: last, the hidden state of the last step; last+max, also each unit's largest value over all
    steps so far, so that the beginning of a long sequence is not forgotten."""
    dropout: float
    """Dropout between layers and before the head."""
    weight_dropout: float
    """Dropout of the recurrent weights in training, one mask per batch."""
    forget_bias: float
    """Initial bias of the forget gate of lstm, lstm-cifg, lstm-multiplicative, lstm-peephole, min-lstm, slstm."""
    init_std: float
    """Standard deviation of initial weights; 0: uniform within ±1/√hidden, like torch.nn."""
    task: str
    """What is learned: classify, which class a sequence belongs to; forecast, the next point of a series of numbers;
    lm, the next token of a text; tag, the tag of each word of a sequence."""
    tokens: str
    """What one token is; bpe: a subword, by byte-pair encoding."""
    vocab_size: int
    """Size limit of the vocabulary; rarer words or characters are unknown. 0: 10,000 words, 4,096 subwords, 1,024
    characters or as many as make up 99.99 % of the text."""
    val_fraction: float
    """Share at the end held out for validation."""
    test_fraction: float
    """Share before that held out for testing."""
    fraction: float
    """Use only this share of the data; of a text, its beginning."""
    lines: bool
    """The text is a list of lines in no order: remove duplicates, shuffle the lines, split between lines."""
    split: str
    """end: hold out the end of the text; within: train on the held-out part too, as some published systems do;
    published: split enwik8, text8 and ptb-char as in the literature."""
    dedupe: bool
    """Remove passages of 127 tokens or more from the training part that also occur in the held-out part."""
    allow_leak: bool
    """Train even if training and validation overlap; every figure is marked as leaky."""
    classes: str
    """Only these classes, separated by commas, in double quotes if one contains a comma; none: all."""
    columns: str
    """Only these columns of a table, written as for --classes; none: all columns of numbers except counters."""
    text_column: str
    """The table's column of sequences; none: chosen by name and content."""
    label_column: str
    """The table's column of labels; none: chosen by name and content."""
    time_column: str
    """The table's column of times, by which rows are sorted; none: chosen by content."""
    group_column: str
    """The table's column that names each row's series, if the table has several; several columns separated by commas,
    such as store,item; none: one series."""
    scale: str
    """level: a forecaster reads and predicts deviations from the mean of the training part; residual: it predicts the
    difference from the current value; difference: it also reads only differences, for series with a trend; auto: chosen
    on the validation part."""
    season: int
    """Points after which a series repeats itself; 1: never; 0: found in the training part."""
    calendar: str
    """Whether a forecaster reads hour, weekday and time of year of the next point; auto: those that fit the step and
    the length of the series."""
    date_order: str
    """Whether day or month comes first in dates such as 01/02/2021."""
    example: str
    """What one sequence is in a folder with a folder for each class: a file, or a line; auto: a file, unless the files
    are few and have many lines."""
    delimiter: str
    """Separator of a table's fields: a character, 'tab' or 'space'; none: detected."""
    decimal: str
    """The decimal sign of a table's numbers; auto: detected."""
    header: str
    """Whether the first line of a table holds names."""
    missing: str
    """Cells of a table that mean no value, besides NA and the like, written as for --classes."""
    encoding: str
    """Encoding of text files and tables, such as utf-8 or cp1252; none: detected."""
    split_seed: int
    """Seed for shuffling labelled sequences or lines before the split."""
    batches: str
    """stream: contiguous lanes with carried state (truncated BPTT); random: windows from anywhere; windows: every
    window once an epoch, shuffled; lines: windows that begin where a line does, shuffled."""
    batch_size: int
    """Sequences trained side by side."""
    seq_len: int
    """Length of truncated backpropagation through time, in tokens."""
    optimizer: str
    """Update rule."""
    lr: float
    """Peak learning rate."""
    momentum: float
    """Momentum of sgd and rmsprop."""
    weight_decay: float
    """Weight decay of matrices (decoupled in adamw)."""
    schedule: str
    """Learning rate over the run."""
    warmup: int
    """Steps of linear warm-up."""
    lr_floor: float
    """Cosine ends at this share of the peak rate."""
    lr_step: int
    """Steps between two drops of the step schedule."""
    lr_factor: float
    """Factor by which each drop multiplies the rate."""
    summed: bool
    """Minimise the sum of the loss over a batch's tokens, not the mean."""
    clip: float
    """Largest gradient norm; 0: no clipping."""
    steps: int
    """Stop after this many steps; 0: no such limit, but 5,000 steps if steps, epochs, minutes and patience are all
    0."""
    epochs: float
    """Stop after this many passes over the training split; 0: no such limit."""
    minutes: float
    """Stop after this much wall time, earlier sessions included; 0: no such limit."""
    on_nan: str
    """If the loss is not finite: stop; or rollback, return to the last checkpoint and continue at half the rate."""
    patience: int
    """Stop after this many evaluations without a new best; 0: never."""
    eval_every: int
    """Steps between two evaluations; 0: one after each epoch."""
    eval_share: float
    """Share of the training time that evaluations of a text may take: from a long held-out part they read passages, the
    same ones throughout the run; 0: they read all of it."""
    checkpoint_every: int
    """Steps between two checkpoints."""
    keep: int
    """Number of newest checkpoints kept, besides the best."""
    token_dropout: float
    """Share of the tokens that training replaces by the unknown one; not for bytes."""
    every_step: bool
    """Take the loss at every step, not only at a sequence's last. Streams always do, and then forecast with carried
    state; otherwise a forecast reads the last --seq-len points from the zero state."""
    class_weights: bool
    """Let every class count the same, however many sequences it has."""
    label_smoothing: float
    """Share of a target's probability that is spread evenly over all classes, against overconfidence."""
    auxiliary: float
    """Weight of an auxiliary loss in training, the nats of predicting the next symbol; it helps if there are few
    sequences."""
    horizon: int
    """Points that each evaluation forecasts, each forecast fed back as input."""
    device: str
    """Where to compute."""
    processes: int
    """Processes that share each batch, each on its own GPU or on a part of the CPU's cores; results do not depend on
    their number."""
    dtype: str
    """Arithmetic of the recurrent layers; tf32: float32 whose products a GPU rounds to 10 bits; auto: bfloat16 if it is
    1.05 times as fast as float32, measured once for these sizes on this machine, else float32."""
    accumulate: int
    """Number of parts in which a step processes its batch, to save memory; the result is the same."""
    memory: str
    """What a step keeps for its backward pass: save, all gates; recompute, only the states, which takes about three
    fifths of the memory and up to a third more arithmetic. The result is the same."""
    seed: int
    """Seed of weights, batches, dropout and samples."""
    sample_length: int
    """Tokens written at each evaluation; 0: none."""
    sample_prime: str
    """What the text written at evaluations begins with; none: a new line."""
    sample_temperature: float
    """Temperature of that text; 0: greedy."""
