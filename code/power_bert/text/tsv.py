"""Former place of what is now in `examples` and `predictions`."""

from power_bert.text.examples import Examples as Examples
from power_bert.text.examples import read_examples as read_examples
from power_bert.text.predictions import read_predictions as read_predictions
from power_bert.text.predictions import write_predictions as write_predictions
