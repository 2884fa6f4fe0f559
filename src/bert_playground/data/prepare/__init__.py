"""Tables that are read, decided upon and split once, for all models that are fitted on them."""

from .tables import Prepared as Prepared
from .tables import choose_split_options as choose_split_options
from .tables import choose_text_options as choose_text_options
from .tables import fit_text as fit_text
from .tables import prepare as prepare
from .tables import prepare_again as prepare_again
from .tables import prepare_frames as prepare_frames
from .tables import write_table_folds as write_table_folds
