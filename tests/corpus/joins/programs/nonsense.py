print("never")
if True
    x = 1
