"""An anatomical chest phantom: a synthetic CT and X-ray of the same synthetic patient."""

from demo.phantom.files import write_ct, write_studies, write_xray

__all__ = ["write_ct", "write_studies", "write_xray"]
