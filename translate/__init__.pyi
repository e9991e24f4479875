# What type checkers see: the names that __init__.py imports when they are first used.
from translate.data.store import StoreReader as StoreReader
from translate.evaluation.evaluate import evaluate as evaluate
from translate.settings import TrainSettings as TrainSettings
from translate.training.loop import train as train
from translate.use.inference import Generator as Generator
