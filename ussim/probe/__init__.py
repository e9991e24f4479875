"""What scans it: the transducer, its beam, and the settings of imaging, display and quality.

In come settings; nothing here knows a scene.
"""
