"""The engine "celery": what Orthanc publishes, and the workers elsewhere that read it (docs/scaling.md).

Nothing outside this package imports Celery, kombu or urllib3, which are installed only for this engine.
"""
