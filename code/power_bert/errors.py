"""The exception that is shown to a user without a traceback: that of the runtime package, which lies below this one."""

from power_bert_runtime.errors import UserError as UserError
from power_bert_runtime.errors import shorten as shorten
