"""The module that the Functions host loads."""

from shared.app import create_app
from shared.settings import read_app_settings

app = create_app(read_app_settings())
