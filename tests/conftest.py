"""What every test shares: hypothesis without deadlines, since machines are noisy."""

import hypothesis

hypothesis.settings.register_profile("rookery", deadline=None, print_blob=True)
hypothesis.settings.load_profile("rookery")
