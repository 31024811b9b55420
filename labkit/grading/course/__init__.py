"""A course in nbgrader's layout: released, collected, graded by labkit, and handed back by nbgrader."""
