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
    """What the head reads: last, the hidden state of the last step; last+max, beside it each unit's largest value over
    all steps so far, so that the beginning of a long sequence is not forgotten."""
    dropout: float
    """Dropout between layers and before the head."""
    weight_dropout: float
    """Dropout of the recurrent weights in training, one mask a batch."""
    forget_bias: float
    """Initial bias of the forget gate, of lstm, lstm-cifg, lstm-multiplicative, lstm-peephole, min-lstm, slstm."""
    init_std: float
    """Standard deviation of the first weights; 0: uniform within 1/√hidden, as torch.nn."""
    task: str
    """What is learned: classify, which class a sequence belongs to; forecast, the next point of a series of numbers;
    lm, the next token of a text; tag, the tag of each word of a sequence."""
    tokens: str
    """What one token is; bpe: a subword, by byte-pair encoding."""
    vocab_size: int
    """Largest vocabulary; rarer words or characters are unknown. 0: 10,000 words, 4,096 subwords, 1,024 characters or
    as many as make up 99.99 % of the text."""
    val_fraction: float
    """Share at the end held out for validation."""
    test_fraction: float
    """Share before it held out for testing."""
    fraction: float
    """Use only this share of the data: the first of a text."""
    lines: bool
    """The text is a list of lines in no order: drop its duplicates, shuffle it, cut it between lines."""
    split: str
    """end: held out is the end of the text; within: it is trained on as well, as in some published systems; published:
    enwik8, text8 and ptb-char are cut as in the literature."""
    dedupe: bool
    """Leave out of the training part what stands word for word in the held-out part, 127 tokens or more."""
    allow_leak: bool
    """Go on where training and validation overlap; every figure is then called leaky."""
    classes: str
    """Only these classes, with commas between, in double quotes where one holds a comma; none: all."""
    columns: str
    """Only these columns of a table, written as --classes; none: all that hold numbers and are no counter."""
    text_column: str
    """The table's column of sequences; none: by its name and content."""
    label_column: str
    """The table's column of labels; none: by its name and content."""
    time_column: str
    """The table's column of times, which give the order of its rows; none: by its content."""
    group_column: str
    """The table's column that names each row's series, where several stand under one another; several together with
    commas between, as store,item; none: one series."""
    scale: str
    """level: a forecaster reads and answers deviations from the mean of the training part; residual: it answers the
    difference to the current value; difference: it also reads differences alone, as trends need; auto: the one that the
    validation part speaks for."""
    season: int
    """Points after which a series repeats itself; 1: never; 0: found in the training part."""
    calendar: str
    """Whether a forecaster reads hour, weekday and time of year of the next point; auto: those that the step and the
    length of the series show."""
    date_order: str
    """Whether day or month comes first in dates such as 01/02/2021."""
    example: str
    """What one sequence is in a folder with a folder for each class: a file, or a line; auto: a file, unless there are
    few of many lines."""
    delimiter: str
    """Between the fields of a table: a character, 'tab' or 'space'; none: found out."""
    decimal: str
    """The decimal sign of a table's numbers; auto: found out."""
    header: str
    """Whether the first line of a table holds names."""
    missing: str
    """Cells of a table that stand for no value, beside NA and the like, written as --classes."""
    encoding: str
    """Of text files and tables, such as utf-8 or cp1252; none: found out."""
    split_seed: int
    """Seed of the shuffle before the split, of labelled sequences or lines."""
    batches: str
    """stream: contiguous lanes with carried state (truncated BPTT); random: windows from anywhere; windows: every
    window once an epoch, shuffled; lines: windows that begin where a line does, shuffled."""
    batch_size: int
    """Sequences trained side by side."""
    seq_len: int
    """Tokens from one end of backpropagation through time to the other."""
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
    """Steps between two falls of the step schedule."""
    lr_factor: float
    """What each fall of the step schedule multiplies by."""
    summed: bool
    """Follow the loss summed over a batch's tokens, not their mean."""
    clip: float
    """Largest gradient norm; 0: no clipping."""
    steps: int
    """Stop after this many steps; 0: no such limit, but 5,000 steps where steps, epochs, minutes and patience are all
    0."""
    epochs: float
    """Stop after this many passes over the training split; 0: no such limit."""
    minutes: float
    """Stop after this much wall time, earlier sessions counted; 0: no such limit."""
    on_nan: str
    """When the loss is not finite: stop, or rollback to the last checkpoint and go on at half the rate."""
    patience: int
    """Stop after this many evaluations without a new best; 0: never."""
    eval_every: int
    """Steps between two evaluations; 0: one after each epoch."""
    eval_share: float
    """Share of the training time that evaluations of a text may take: of a long held-out part they read passages, the
    same ones throughout the run; 0: all of it."""
    checkpoint_every: int
    """Steps between two checkpoints."""
    keep: int
    """Newest checkpoints kept, beside the best."""
    token_dropout: float
    """Share of the tokens that training reads as unknown ones; not for bytes."""
    every_step: bool
    """Learn from every step, not only from a sequence's last. A stream always does, and is then used with its state
    carried; else a forecast reads the last --seq-len points from a zero state."""
    class_weights: bool
    """Let every class count the same, however many sequences it has."""
    label_smoothing: float
    """Share of a target's probability that goes to all classes alike, so that the network is less sure of itself."""
    auxiliary: float
    """Weight of an auxiliary loss in training, the nats of predicting the next symbol, from which a network learns more
    of few sequences."""
    horizon: int
    """Points that each evaluation forecasts from its own forecasts."""
    device: str
    """Where to compute."""
    processes: int
    """Processes that share each batch, on a GPU each or on a part of the processor's cores; results do not depend on
    how many."""
    dtype: str
    """Arithmetic of the recurrent layers; tf32: float32 whose products a GPU rounds to 10 bits; auto: bfloat16 if it is
    1.05 times as quick as float32, measured once for these sizes on this machine, else float32."""
    accumulate: int
    """Parts in which a step goes through its batch, for less memory; the result is the same."""
    memory: str
    """What stays of a step for its backward pass: save, all gates; recompute, the states alone, for about three fifths
    of the memory and up to a third more arithmetic. The result is the same."""
    seed: int
    """Seed of weights, batches, dropout and samples."""
    sample_length: int
    """Tokens written at each evaluation; 0: none."""
    sample_prime: str
    """What the text written at evaluations begins with; none: a new line."""
    sample_temperature: float
    """Temperature of that text; 0: greedy."""
